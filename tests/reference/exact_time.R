# Numbers for tests/analysis/test_{survival_counts,competing,cox,fine_gray,recurrent}.py on one seeded data set with
# ties, left truncation, weights, strata and clusters. Run in this folder: Rscript exact_time.R
# R 4.2.2, survival 3.5-3, cmprsk 2.2-11, jsonlite.
suppressMessages({library(survival); library(cmprsk); library(jsonlite)})
set.seed(20)
n <- 80
d <- data.frame(
  id = 1:n, entry = pmax(0, round(rnorm(n, 1, 2))), cause = sample(0:2, n, TRUE, c(.3, .4, .3)),
  group = sample(1:3, n, TRUE), stratum = sample(1:2, n, TRUE), weight = round(runif(n, .3, 3), 2),
  x1 = round(rnorm(n), 3), x2 = rbinom(n, 1, .5), cluster = rep(1:20, 4)
)
d$time <- d$entry + 1 + round(rexp(n, exp(.4 * d$x1 + .3 * d$x2) / 6))

curve <- function(f) list(time = f$time, n_risk = f$n.risk, surv = f$surv, se = f$surv * f$std.err, lower = f$lower,
                          upper = f$upper, cumhaz = f$cumhaz, se_cumhaz = f$std.chaz)
difference <- function(f) list(obs = rowSums(cbind(f$obs)), exp = rowSums(cbind(f$exp)), var = f$var, chisq = f$chisq)
km <- list(
  truncated = curve(survfit(Surv(entry, time, cause > 0) ~ 1, d, conf.type = "log-log")),
  # Follow-up: the status flipped, and with events half a day before the censored (and the entries) of their day.
  reverse = list(
    flipped = curve(survfit(Surv(entry, time, cause == 0) ~ 1, d, conf.type = "log-log")),
    events_first = curve(survfit(Surv(entry + .5, time + (cause == 0) / 2, cause == 0) ~ 1, d, conf.type = "log-log"))
  ),
  weighted = curve(survfit(Surv(time, cause > 0) ~ 1, d, weights = weight, robust = FALSE, conf.type = "log")),
  rho_half = difference(survdiff(Surv(time, cause > 0) ~ group, d, rho = .5)),
  stratified = difference(survdiff(Surv(time, cause > 0) ~ group + strata(stratum), d))
)

gray <- function(...) unname(cuminc(d$time, d$cause, d$group, ...)$Tests)
ci <- cuminc(d$time, d$cause, d$group)
at <- timepoints(ci, c(2, 5, 8))
event <- factor(d$cause, 0:2)
competing <- list(
  gray = gray(), gray_rho1 = gray(rho = 1), gray_stratified = gray(strata = d$stratum),
  times = c(2, 5, 8), est = unname(at$est), var = unname(at$var),
  truncated = list(time = sort(unique(d$time)),
                   pstate = summary(survfit(Surv(entry, time, event) ~ 1, d, id = id), times = sort(unique(d$time)))$pstate)
)

cox <- function(ties) {
  control <- coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50)
  f <- coxph(Surv(entry, time, cause == 1) ~ x1 + x2 + strata(stratum), d, weights = weight, cluster = cluster,
             ties = ties, control = control)
  g <- coxph(Surv(entry, time, cause == 1) ~ x1 + x2 + strata(stratum), d, ties = ties, control = control)
  s <- summary(survfit(g, newdata = data.frame(x1 = .5, x2 = 1, stratum = 2)), times = c(2, 4, 8))
  zph <- function(transform) unname(cox.zph(g, transform = transform)$table[, 1])
  list(coef = unname(coef(f)), naive = f$naive.var, robust = f$var, loglik = f$loglik, unweighted = unname(coef(g)),
       surv = s$surv, surv_se = s$std.err, zph_km = zph("km"), zph_rank = zph("rank"), zph_identity = zph("identity"))
}

x <- as.matrix(d[c("x1", "x2")])
crr_fit <- crr(d$time, d$cause, x, gtol = 1e-12, maxiter = 50)
expanded <- finegray(Surv(time, event) ~ ., cbind(d, event = event), etype = "1", id = id)
fg <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x1 + x2, expanded, weights = fgwt, cluster = id,
            control = coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50))
mgus <- within(mgus2, {
  etime <- ifelse(pstat == 0, futime, ptime)
  event <- factor(ifelse(pstat == 0, 2 * death, 1), 0:2)
})
mgus_fg <- coxph(Surv(fgstart, fgstop, fgstatus) ~ age + sex, finegray(Surv(etime, event) ~ ., mgus, etype = "1", id = id),
                 weights = fgwt, cluster = id)
fine_gray <- list(
  crr = list(coef = unname(crr_fit$coef), var = crr_fit$var, loglik = crr_fit$loglik,
             cif = unclass(predict(crr_fit, matrix(c(.5, 1), 1)))),
  finegray = list(coef = unname(coef(fg)), naive = fg$naive.var, robust = fg$var, loglik = fg$loglik),
  mgus2_clustered_se = unname(sqrt(diag(mgus_fg$var)))
)

# At most one event a row; subjects have gaps between some windows.
r <- do.call(rbind, lapply(1:25, function(i) {
  length <- sample(1:4, sample(1:5, 1), TRUE)
  stop <- cumsum(length + sample(0:1, length(length), TRUE))
  data.frame(id = i, start = stop - length, stop = stop, event = rbinom(length(length), 1, .6), weight = round(runif(1, .5, 2), 2))
}))
mcf <- function(w) {
  r$w <- w
  f <- survfit(Surv(start, stop, event) ~ 1, r, weights = w, id = id, robust = TRUE)
  keep <- f$n.event > 0
  list(time = f$time[keep], mean = f$cumhaz[keep], se = f$std.chaz[keep])
}
recurrent <- list(data = as.list(r), plain = mcf(1), weighted = mcf(r$weight))

write_json(list(data = as.list(d), survival_counts = km, competing = competing,
                cox = list(efron = cox("efron"), breslow = cox("breslow")), fine_gray = fine_gray, recurrent = recurrent),
           "exact_time.json", digits = 15, auto_unbox = TRUE, na = "null")
