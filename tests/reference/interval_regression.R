# Numbers for tests/analysis/test_interval_regression.py and test_interval_aft.py on one seeded data set with left-,
# interval- and right-censored rows and exact times, weights, strata and clusters. Run in this folder:
# Rscript interval_regression.R
# survreg (survival) for accelerated failure time; for proportional hazards a likelihood written here from the formulas
# of Royston & Parmar 2002 with R's splines::ns as basis, maximised by optim; Poisson glm for exact times.
# R 4.2.2, survival 3.5-3, jsonlite.
suppressMessages({library(survival); library(splines); library(jsonlite)})
set.seed(31)
n <- 180
d <- data.frame(x1 = round(rnorm(n), 3), x2 = rbinom(n, 1, .5), stratum = sample(1:2, n, TRUE),
                weight = sample(1:4, n, TRUE), cluster = sample(1:45, n, TRUE))
d$time <- round(120 * (rexp(n) * exp(-.5 * d$x1 - .4 * d$x2))^(1 / c(.9, 1.5)[d$stratum]) + .5, 2)
visits <- c(0, 30, 60, 90, 180, 270, 365, 730)
last <- sample(4:8, n, TRUE)
d$left <- d$right <- d$time
for (i in seq_len(n)) {
  k <- findInterval(d$time[i], visits, left.open = TRUE)
  if (i %% 5 == 0) { if (d$time[i] > visits[last[i]]) { d$left[i] <- visits[last[i]]; d$right[i] <- NA } }
  else if (k >= last[i]) { d$left[i] <- visits[last[i]]; d$right[i] <- NA }
  else { d$left[i] <- visits[k]; d$right[i] <- visits[k + 1] }
}
d$event <- as.integer(d$time <= visits[last])
d$seen <- pmin(d$time, visits[last])
y <- with(d, Surv(ifelse(left == 0, NA, left), right, type = "interval2"))

tight <- survreg.control(rel.tolerance = 1e-13, maxiter = 100)
out <- function(f) list(coef = unname(coef(f)), log_scale = unname(log(f$scale)), var = unname(f$var), loglik = f$loglik[2],
                        loglik_null = f$loglik[1])
# survreg's own sandwich serves for exact times only: for intervals its residuals by log scale do not add up to 0 at the
# maximum (survival 3.5-3), and it leaves out the weights. Rows are differentiated numerically instead.
sandwich <- function(f, dist) {
  rows <- function(theta) {
    mean <- as.vector(cbind(1, d$x1, d$x2) %*% theta[1:3])
    scale <- if (dist == "exponential") 1 else exp(theta[4])
    right <- ifelse(is.na(d$right), Inf, d$right)
    exact <- d$left == right
    log(ifelse(exact, dsurvreg(d$time, mean, scale, dist),
               ifelse(is.na(d$right), 1, psurvreg(pmin(right, 1e9), mean, scale, dist)) -
                 ifelse(d$left == 0, 0, psurvreg(pmax(d$left, 1e-9), mean, scale, dist))))
  }
  theta <- c(coef(f), if (dist != "exponential") log(f$scale))
  scores <- sapply(seq_along(theta), function(j) {
    h <- 1e-3 * replace(numeric(length(theta)), j, 1)
    (8 * (rows(theta + h) - rows(theta - h)) - rows(theta + 2 * h) + rows(theta - 2 * h)) / 12e-3
  })
  unname(f$var %*% crossprod(rowsum(d$weight * scores, d$cluster)) %*% f$var)
}
sandwich_exact <- function(dist)
  unname(survreg(Surv(seen, event) ~ x1 + x2, d, dist = dist, cluster = cluster, control = tight)$var)
aft <- list()
for (dist in c("weibull", "exponential", "loglogistic", "lognormal")) {
  f <- survreg(y ~ x1 + x2, d, weights = weight, dist = dist, control = tight)
  q <- predict(f, data.frame(x1 = c(-.5, 1), x2 = 0:1), type = "quantile", p = c(.25, .5), se.fit = TRUE)
  aft[[dist]] <- c(out(f), list(
    robust = sandwich(f, dist), robust_exact = sandwich_exact(dist),
    quantile = unname(q$fit), quantile_se = unname(q$se.fit),
    exact = out(survreg(Surv(seen, event) ~ x1 + x2, d, weights = weight, dist = dist, control = tight))))
}
for (dist in c("weibull", "lognormal"))
  aft[[dist]]$strata <- out(survreg(y ~ x1 + x2 + strata(stratum), d, weights = weight, dist = dist, control = tight))

# log cumulative hazard and log hazard of each row at times t, by parameter vector
likelihood <- function(theta, log_cumulative, log_hazard) {
  exact <- !is.na(d$right) & d$left == d$right
  before <- ifelse(d$left == 0, 1, exp(-exp(log_cumulative(theta, pmax(d$left, 1)))))
  after <- ifelse(is.na(d$right), 0, exp(-exp(log_cumulative(theta, ifelse(is.na(d$right), 1, d$right)))))
  density <- exp(log_hazard(theta, d$time) - exp(log_cumulative(theta, d$time)))
  suppressWarnings(-sum(d$weight * log(ifelse(exact, density, before - after))))
}
maximum <- function(start, ...) {
  f <- function(theta) { v <- likelihood(theta, ...); if (is.finite(v)) v else 1e10 }
  # Central differences of fifth order, then Newton steps: optim's own gradient leaves 1e-4 in the parameters.
  gradient <- function(theta) sapply(seq_along(theta), function(j) {
    h <- 1e-3 * replace(numeric(length(theta)), j, 1)
    (8 * (f(theta + h) - f(theta - h)) - f(theta + 2 * h) + f(theta - 2 * h)) / 12e-3
  })
  theta <- optim(start, f, gradient, method = "BFGS", control = list(maxit = 2000, reltol = 1e-14))$par
  for (i in 1:6) {
    hessian <- sapply(seq_along(theta), function(j) {
      h <- 1e-3 * replace(numeric(length(theta)), j, 1)
      (8 * (gradient(theta + h) - gradient(theta - h)) - gradient(theta + 2 * h) + gradient(theta - 2 * h)) / 12e-3
    })
    theta <- theta - solve(hessian, gradient(theta))
  }
  list(beta = tail(theta, 2), var = solve(hessian)[length(theta) - 1:0, length(theta) - 1:0], loglik = -f(theta),
       theta = theta)
}
x <- as.matrix(d[c("x1", "x2")])
knots <- c(10, 60, 200, 400)
basis <- function(t, derivs = 0) {
  b <- ns(log(knots), knots = log(knots[2:3]), Boundary.knots = log(knots[c(1, 4)]))
  if (derivs == 0) return(cbind(1, predict(b, log(t))))
  (cbind(0, predict(b, log(t) + 1e-5)) - cbind(0, predict(b, log(t) - 1e-5))) / 2e-5
}
cache <- new.env()
at <- function(t, derivs) {
  key <- paste(derivs, sum(t * seq_along(t)), length(t))
  if (is.null(cache[[key]])) cache[[key]] <- basis(t, derivs)
  cache[[key]]
}
spline <- function(strata) {
  s <- if (strata) d$stratum else rep(1, n)
  g <- function(theta) matrix(theta[seq_len(4 * max(s))], ncol = 4, byrow = TRUE)[s, ]
  linear <- function(theta) as.vector(x %*% tail(theta, 2))
  H <- function(theta, t) rowSums(at(t, 0) * g(theta)) + linear(theta)
  h <- function(theta, t) suppressWarnings(H(theta, t) + log(rowSums(at(t, 1) * g(theta))) - log(t))
  maximum(c(rep(c(-3, 2, 4, 3), max(s)), .3, .3), H, h)
}
cuts <- c(60, 180)
exposure <- function(t) sapply(1:3, function(j) pmax(0, pmin(t, c(cuts, Inf)[j]) - c(0, cuts)[j]))
pieces <- maximum(c(-5, -5, -5, .3, .3),
  function(theta, t) log(exposure(t) %*% exp(theta[1:3]))[, 1] + as.vector(x %*% theta[4:5]),
  function(theta, t) theta[findInterval(t, cuts, left.open = TRUE) + 1] + as.vector(x %*% theta[4:5]))
long <- survSplit(Surv(seen, event) ~ ., d, cut = cuts, episode = "piece")
poisson <- glm(event ~ 0 + factor(piece) + x1 + x2 + offset(log(seen - tstart)), poisson, long, weights = weight,
               control = glm.control(epsilon = 1e-14, maxit = 50))
at_risk <- function(fit, t, x2) {
  e <- as.vector(x %*% c(fit$beta[1], 0)) + fit$beta[2] * x2
  weighted.mean(1 - exp(-exp(as.vector(basis(t) %*% fit$theta[1:4]) + e)), d$weight)
}
one <- spline(FALSE)
hazards <- list(knots = knots, cuts = cuts, spline = one, spline_strata = spline(TRUE), pieces = pieces,
                poisson = list(theta = unname(coef(poisson)), var = unname(vcov(poisson))), times = c(90, 365),
                standardised = sapply(c(90, 365), function(t) c(at_risk(one, t, 0), at_risk(one, t, 1))))
cat(toJSON(list(data = lapply(d, identity), aft = aft, hazards = hazards), digits = NA, auto_unbox = TRUE, na = "null"),
    file = "interval_regression.json")
