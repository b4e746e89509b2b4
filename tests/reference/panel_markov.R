# Makes panel_markov.csv (simulated, ours to publish) and panel_markov.json (what R's msm says about it).
# Run from this folder: Rscript panel_markov.R.  R 4.2.2, msm 1.7, jsonlite.
suppressMessages({library(msm); library(jsonlite)})
set.seed(20240611)

# States: 1 no response yet, 2 in response, 3 response lost, 4 joint replacement or death (seen on its day).
truth <- rbind(c(0, .16, 0, .008), c(0, 0, .09, .02), c(0, .05, 0, .02), c(0, 0, 0, 0))
panel <- do.call(rbind, lapply(1:250, function(patient) {
  x <- patient %% 2
  q <- truth * exp(matrix(c(0, 0, 0, 0, -.4, 0, 0, 0, 0, .5, 0, 0, .3, .3, .3, 0), 4) * x)
  diag(q) <- -rowSums(q)
  path <- sim.msm(q, maxtime = 24, start = 1)
  visits <- c(0, round(c(3, 6, 9, 12, 18, 24) + runif(6, -.5, .5), 1))
  end <- if (4 %in% path$states) path$times[path$states == 4][1] else Inf
  seen <- visits[visits < end]
  state <- path$states[findInterval(seen, path$times)]
  # One in ten is last heard of alive with the knee unseen: the state set {1, 2, 3}.
  if (patient %% 10 == 0 && is.infinite(end)) state[length(state)] <- 99
  out <- data.frame(patient, time = seen, state, x)
  if (is.finite(end)) out <- rbind(out, data.frame(patient, time = ceiling(end * 1000) / 1000, state = 4, x))
  out
}))
write.csv(panel, "panel_markov.csv", row.names = FALSE, quote = FALSE)

start <- truth; diag(start) <- -rowSums(start)
control <- list(fnscale = 2000, maxit = 3000, reltol = 1e-13)
fit <- function(...) msm(state ~ time, subject = patient, data = panel, qmatrix = start, deathexact = 4, censor = 99,
                         censor.states = 1:3, covariates = ~x, center = FALSE, method = "BFGS", control = control, ...)
plain <- fit()
# The covariate on loss only and, equal by constraint, on the three ways to the end state.
shared <- fit(constraint = list(x = c(1, 2, 3, 2, 4, 2)))
banded <- fit(pci = 8)
mat <- function(m) unname(unclass(m)[1:4, 1:4])
say <- function(f) list(minus2loglik = f$minus2loglik, estimates = unname(f$estimates), covariance = unname(f$covmat))
q1 <- qmatrix.msm(plain, covariates = list(x = 1))
stay <- totlos.msm(plain, covariates = list(x = 1), start = 1, tot = 24, end = 1:4)
values <- list(
  plain = c(say(plain), list(
    Q = mat(q1$estimates), Q_se = mat(q1$SE),
    P12 = mat(pmatrix.msm(plain, t = 12, covariates = list(x = 1))),
    time_in_states_24 = unname(as.vector(stay)),
    first_passage_to_3_by_12 = unname(ppass.msm(plain, tot = 12, covariates = list(x = 1))[1, 3]))),
  shared = say(shared),
  banded = c(say(banded), list(
    P_2_to_20 = mat(pmatrix.piecewise.msm(banded, t1 = 2, t2 = 20, times = 8,
      covariates = list(list(x = 1, timeperiod = levels(factor(c("[-Inf,8)", "[8,Inf)")))[1]),
                        list(x = 1, timeperiod = "[8,Inf)")))))))
write(toJSON(list(r = R.version.string, msm = as.character(packageVersion("msm")), values = values),
             digits = NA, auto_unbox = TRUE, pretty = TRUE), "panel_markov.json")
print(c(plain$minus2loglik, shared$minus2loglik, banded$minus2loglik))
