# Numbers for tests/analysis/test_repeated_references.py that no stored reference covers:
# covariance structures other than unstructured (nlme::gls) and Kenward-Roger of an independent package (pbkrtest).
# Run: Rscript tests/reference/mmrm_structures.R <references/data folder> > tests/reference/mmrm_structures.json
suppressPackageStartupMessages({library(nlme); library(lme4); library(pbkrtest); library(lmerTest); library(jsonlite)})
folder <- commandArgs(TRUE)[1]
fev <- read.csv(file.path(folder, "mmrm_fev_data.csv"), stringsAsFactors = TRUE)
fev <- fev[!is.na(fev$FEV1), ]
fev$SEX <- relevel(fev$SEX, "Male")
control <- glsControl(tolerance = 1e-12, msTol = 1e-12, maxIter = 500, msMaxIter = 500, opt = "nlminb")
constructors <- list(
  "compound symmetry" = function(...) corCompSymm(..., form = ~ VISITN | USUBJID),
  "ar1" = function(...) corAR1(..., form = ~ VISITN | USUBJID),
  "toeplitz" = function(...) corARMA(..., form = ~ VISITN | USUBJID, p = 3),
  "unstructured" = function(...) corSymm(..., form = ~ VISITN | USUBJID)
)
fit_gls <- function(name, method, from = NULL) {
  correlation <- constructors[[sub("heterogeneous ", "", name)]]
  by_visit <- grepl("heterogeneous|unstructured", name)
  start <- function(part) coef(from$modelStruct[[part]], unconstrained = FALSE)
  gls(FEV1 ~ RACE + SEX + ARMCD * AVISIT, fev, method = method, control = control,
      correlation = if (is.null(from)) correlation() else correlation(start("corStruct")),
      weights = if (!by_visit) NULL else if (is.null(from)) varIdent(form = ~ 1 | AVISIT)
                else varIdent(start("varStruct"), form = ~ 1 | AVISIT))
}
fits <- list()
for (name in c("compound symmetry", "ar1", "toeplitz", "unstructured", paste("heterogeneous", c("compound symmetry", "ar1", "toeplitz"))))
  for (method in c("REML", "ML")) {
    fit <- fit_gls(name, method)
    # One run stops up to 1e-7 short in loglik, which is 3e-5 of the coefficients: start again from where it stopped.
    for (again in 1:6) fit <- fit_gls(name, method, fit)
    # gls multiplies its standard errors by sqrt(N / (N - p)) under ML; that factor is taken out here.
    factor <- if (method == "ML") (fit$dims$N - fit$dims$p) / fit$dims$N else 1
    fits[[length(fits) + 1]] <- list(structure = name, method = method, coef = as.list(coef(fit)),
      se = as.list(sqrt(diag(vcov(fit)) * factor)), loglik = as.numeric(logLik(fit)))
  }
child <- read.csv(file.path(folder, "nlme_Orthodont.csv"), stringsAsFactors = TRUE)
child$Sex <- relevel(child$Sex, "Male")
random <- lmer(distance ~ factor(age) * Sex + (1 | Subject), child,
               control = lmerControl(optCtrl = list(rhobeg = 1e-3, rhoend = 1e-12, maxfun = 1e5)))
interaction <- diag(8)[6:8, ]
kr <- KRmodcomp(random, interaction)
sparse <- child[-c(2, 7, 12, 33, 34, 58, 80, 95), ]
uneven <- lmer(distance ~ factor(age) * Sex + (1 | Subject), sparse,
               control = lmerControl(optCtrl = list(rhobeg = 1e-3, rhoend = 1e-12, maxfun = 1e5)))
kr_uneven <- KRmodcomp(uneven, interaction)
orthodont <- function(fit, test) list(coef = as.list(fixef(fit)), loglik = as.numeric(logLik(fit)),
  adjusted_se = sqrt(diag(as.matrix(vcovAdj(fit)))), F = test$stats$Fstat, F_scaling = test$stats$F.scaling,
  ndf = test$stats$ndf, ddf = test$stats$ddf,
  satterthwaite_F = contestMD(as(fit, "lmerModLmerTest"), interaction)[["F value"]],
  satterthwaite_ddf = contestMD(as(fit, "lmerModLmerTest"), interaction)[["DenDF"]])
cat(toJSON(list(r = R.version.string, nlme = as.character(packageVersion("nlme")),
  pbkrtest = as.character(packageVersion("pbkrtest")), fev = fits, orthodont = orthodont(random, kr),
  orthodont_uneven = c(orthodont(uneven, kr_uneven), list(dropped_rows = c(2, 7, 12, 33, 34, 58, 80, 95)))),
  digits = I(15), auto_unbox = TRUE, pretty = TRUE))
