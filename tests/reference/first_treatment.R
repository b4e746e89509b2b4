# Numbers for tests/analysis/numerics/test_weighting.py: a marginal structural model of a treatment that is started once.
# The R package ipw (van der Wal & Geskus 2011, J Stat Softw 43:13), with its example haartdat, could not be installed
# where this was made. What its ipwtm(family = "binomial", type = "first") does is written out with glm: of the rows up to
# the first treatment a logistic model without and one with the marker, the ratio of what was done, and its product.
# Run in this folder: Rscript first_treatment.R
# R 4.2.2, geepack, jsonlite.
suppressMessages({library(geepack); library(jsonlite)})
set.seed(31)
rows <- do.call(rbind, lapply(1:250, function(id) {
  sex <- rbinom(1, 1, .5); marker <- rnorm(1, 5, 1); on <- 0; out <- NULL
  for (visit in 1:6) {
    before <- on
    if (!on) on <- rbinom(1, 1, plogis(-0.5 - 0.6 * (marker - 4) + 0.3 * sex))
    out <- rbind(out, data.frame(id, visit, sex, marker = round(marker, 3), on, before))
    marker <- marker - 0.25 + 0.5 * on + rnorm(1, 0, .4)
  }
  out$y <- round(c(out$marker[-1], marker), 3)
  out
}))
# R stops at a relative change of deviance of 1e-8; asked for more it stands at the maximum.
exact <- glm.control(epsilon = 1e-14, maxit = 50)
risk <- rows$before == 0
num <- glm(on ~ sex + visit, binomial, rows[risk, ], control = exact)
den <- glm(on ~ sex + visit + marker, binomial, rows[risk, ], control = exact)
ratio <- rep(1, nrow(rows))
done <- rows$on[risk]
ratio[risk] <- ifelse(done == 1, fitted(num) / fitted(den), (1 - fitted(num)) / (1 - fitted(den)))
rows$w <- ave(ratio, rows$id, FUN = cumprod)
plain <- coef(lm(y ~ on + sex + visit, rows))
msm <- geeglm(y ~ on + sex + visit, id = id, data = rows, weights = w, corstr = "independence")
write_json(list(rows = rows[c("id", "visit", "sex", "marker", "on", "before", "y")], numerator = unname(coef(num)),
                denominator = unname(coef(den)), weight = rows$w, plain = unname(plain), msm = unname(coef(msm)),
                error = summary(msm)$coefficients[["Std.err"]]),
           "first_treatment.json", digits = 12, auto_unbox = TRUE, dataframe = "columns")
