# Numbers for tests/analysis/numerics/test_repeated_optimum.py: what nlme::gls makes of the covariance where our search
# stops. gls's own search stops up to 1e-5 of a coefficient short; with the covariance given it has only one step to do.
# Run: Rscript tests/reference/mmrm_optimum.R <references/data folder> tests/reference/mmrm_optimum.json
# It reads `structure`, `trial`, `method` and `sigma` of each case there and writes the rest anew.
suppressPackageStartupMessages({library(nlme); library(jsonlite)})
arguments <- commandArgs(TRUE)
trial <- function(name, outcome) {
  rows <- read.csv(file.path(arguments[1], paste0("mmrm_", name, "_data.csv")), stringsAsFactors = TRUE)
  rows <- rows[!is.na(rows[[outcome]]), ]
  rows[order(rows$USUBJID, rows$VISITN), ]
}
fev <- trial("fev", "FEV1")
fev$SEX <- relevel(fev$SEX, "Male")
trials <- list(fev = list(rows = fev, mean = FEV1 ~ RACE + SEX + ARMCD * AVISIT),
               bcva = list(rows = trial("bcva", "BCVA_CHG"), mean = BCVA_CHG ~ BCVA_BL + RACE + ARMCD * AVISIT))
at <- function(case) {
  of <- trials[[case$trial]]
  sd <- sqrt(diag(case$sigma)); correlation <- cov2cor(case$sigma)
  # Visits are named in the order in which the rows first show them, and the first of them is the unit.
  seen <- unique(as.character(of$rows$AVISIT))
  all <- setNames(sd, levels(of$rows$AVISIT))
  fit <- gls(of$mean, of$rows, method = case$method,
             correlation = corSymm(correlation[lower.tri(correlation)], form = ~ VISITN | USUBJID, fixed = TRUE),
             weights = varIdent(form = ~ 1 | AVISIT, fixed = all[seen[-1]] / all[[seen[1]]]))
  # gls multiplies its standard errors by sqrt(N / (N - p)) under ML; that factor is taken out here.
  factor <- if (case$method == "ML") (fit$dims$N - fit$dims$p) / fit$dims$N else 1
  list(structure = case$structure, trial = case$trial, method = case$method, sigma = case$sigma,
       coef = as.list(coef(fit)), se = as.list(sqrt(diag(vcov(fit)) * factor)), loglik = as.numeric(logLik(fit)),
       sd_first_visit = fit$sigma * sd[1] / all[[seen[1]]])
}
cases <- fromJSON(arguments[2], simplifyDataFrame = FALSE)$cases
writeLines(toJSON(list(r = R.version.string, nlme = as.character(packageVersion("nlme")), cases = lapply(cases, at)),
                  digits = I(15), auto_unbox = TRUE, pretty = FALSE), arguments[2])
