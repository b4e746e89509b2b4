# Numbers for tests/analysis/numerics/test_standardised_incidence.py: incidence of an end with death competing, by stage,
# standardised over age and sex, from cause-specific Cox models with the stage as stratum, on one seeded data set.
# Run in this folder: Rscript standardised_incidence.R
# R 4.2.2, survival 3.5-3, jsonlite.
suppressMessages({library(survival); library(jsonlite)})
set.seed(11)
n <- 400
d <- data.frame(patient = c(1:340, sample(340, 60)), stage = sample(c("early", "late"), n, TRUE))
d$age <- round(rnorm(340, 62, 9))[d$patient]; d$sex <- rbinom(340, 1, .5)[d$patient]
x <- cbind((d$age - 62) / 10, d$sex)
end <- rexp(n, exp(c(.5, -.3) %*% t(x)) * ifelse(d$stage == "late", 1 / 900, 1 / 3000))
death <- rexp(n, exp(c(.8, .2) %*% t(x)) / 4000); left <- runif(n, 100, 1500)
d$day <- ceiling(pmin(end, death, left)); d$cause <- ifelse(left <= pmin(end, death), 0, ifelse(end <= death, 1, 2))
x <- scale(cbind(d$age / 10, d$sex), scale = FALSE)
first <- coxph(Surv(day, cause == 1) ~ x + strata(stage), d, ties = "breslow", cluster = patient)
other <- coxph(Surv(day, cause == 2) ~ x + strata(stage), d, ties = "breslow", cluster = patient)
jumps <- function(fit, s) {
  h <- basehaz(fit, centered = TRUE); h <- h[h$strata == s, ]
  data.frame(time = h$time, size = diff(c(0, h$hazard)))
}
incidence <- function(s, t) {
  a <- jumps(first, s); b <- jumps(other, s); r1 <- exp(x %*% coef(first)); r2 <- exp(x %*% coef(other))
  a <- a[a$time <= t & a$size > 0, ]
  mean(sapply(seq_len(n), function(i) sum(sapply(seq_len(nrow(a)), function(k) {
    u <- a$time[k]
    exp(-r1[i] * sum(a$size[a$time < u]) - r2[i] * sum(b$size[b$time < u])) * r1[i] * a$size[k]
  }))))
}
days <- c(365, 1000)
write_json(list(data = as.list(d), days = days, coefficients = unname(coef(first)), error = unname(sqrt(diag(vcov(first)))),
                early = sapply(days, function(t) incidence("early", t)), late = sapply(days, function(t) incidence("late", t))),
           "standardised_incidence.json", digits = 15, auto_unbox = TRUE)
