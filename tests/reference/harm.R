# Numbers for tests/analysis/test_harm_reference.py on one seeded data set: patients with one or two courses, events that
# recur, some patients prone to many. Run in this folder: Rscript harm.R
# R 4.2.2, survival 3.5-3, geepack 1.3.9, jsonlite.
suppressMessages({library(survival); library(geepack); library(jsonlite)})
set.seed(31)
patient <- c(1:60, sort(sample(60, 15)))
courses <- data.frame(course = seq_along(patient), patient = patient, watched = sample(40:700, 75), sessions = sample(1:3, 75, TRUE))
prone <- rgamma(60, 1)[patient]
events <- do.call(rbind, lapply(courses$course, function(i) {
  day <- sort(unique(sample(1:courses$watched[i], min(rpois(1, prone[i] * courses$watched[i] / 300), courses$watched[i]))))
  if (length(day)) data.frame(course = i, day = day, grade = sample(1:3, length(day), TRUE, c(.6, .3, .1)), related = sample(c("possible", "not", NA), length(day), TRUE))
}))

# Start-stop rows of the courses; several courses of a patient are a cluster.
rows <- do.call(rbind, lapply(courses$course, function(i) {
  day <- events$day[events$course == i]
  stop <- sort(unique(c(day, courses$watched[i])))
  data.frame(course = i, patient = courses$patient[i], start = c(0, head(stop, -1)), stop = stop, event = as.numeric(stop %in% day))
}))
f <- survfit(Surv(start, stop, event) ~ 1, rows, id = course, cluster = patient, robust = TRUE)
at <- sapply(c(91, 365), function(t) max(which(f$time <= t & f$n.event > 0)))
mean_events <- list(day = c(91, 365), mean = f$cumhaz[at], se = f$std.chaz[at])

exact <- function(x, t, n) {
  p <- poisson.test(x, t); b <- binom.test(min(x, n), n)
  list(rate = unname(p$estimate), rate_limits = as.numeric(p$conf.int), share = unname(b$estimate), share_limits = as.numeric(b$conf.int))
}
# Of independent events; 0, 1 and 7 of 40 courses with 65 sessions.
alone <- lapply(c(0, 1, 7), function(x) exact(x, 65, 40))

# Clustered over independent variance: robust against model-based of an intercept-only Poisson and logistic model.
n <- tabulate(events$course, 75)
by_patient <- aggregate(cbind(n, sessions, courses = 1, with = n > 0) ~ patient, cbind(courses, n), sum)
each <- cbind(courses, n)[order(courses$patient), ]
gee <- geeglm(n ~ offset(log(sessions)), id = patient, data = by_patient, family = poisson)
share <- geeglm(as.numeric(n > 0) ~ 1, id = patient, data = each, family = binomial)
model <- c(vcov(glm(n ~ offset(log(sessions)), poisson, by_patient)), vcov(glm(n > 0 ~ 1, binomial, each)))
k <- c(gee$geese$vbeta, share$geese$vbeta) / model
x <- sum(n) / k[1]; t <- sum(courses$sessions) / k[1]
# Limits of a number that is no whole: the quantiles that poisson.test and binom.test are made of.
clustered <- list(
  effect = k,
  rate_limits = c(qgamma(.025, x), qgamma(.975, x + 1)) / t,
  share_limits = { y <- sum(n > 0) / k[2]; m <- 75 / k[2]; c(qbeta(.025, y, m - y + 1), qbeta(.975, y + 1, m - y)) }
)
write_json(list(courses = courses, events = events, mean_events = mean_events, alone = alone, clustered = clustered),
           "harm.json", digits = 15, auto_unbox = TRUE, na = "null", dataframe = "columns")
