# Numbers for tests/analysis/test_events_weighted.py of the courses and events in harm.json: mean number of events had
# leaving nothing to do with events so far. Leaving is Kaplan-Meier by class of events so far with late entry; each row is
# cut wherever anybody leaves, weighted, and given to survfit. Run in this folder: Rscript harm_weighted.R
# R 4.2.2, survival 3.5-3, jsonlite.
suppressMessages({library(survival); library(jsonlite)})
d <- fromJSON("harm.json"); courses <- as.data.frame(d$courses); events <- as.data.frame(d$events)
rows <- do.call(rbind, lapply(courses$course, function(i) {
  day <- events$day[events$course == i]
  # Who leaves on a day leaves after its events.
  stop <- c(day, courses$watched[i] + 0.25)
  data.frame(course = i, patient = courses$patient[i], start = c(0, head(stop, -1)), stop = stop,
             event = c(rep(1, length(day)), 0), left = c(rep(0, length(day)), 1), so_far = seq_along(stop) - 1)
}))
top <- max(which(sapply(0:8, function(c) sum(rows$left[rows$so_far >= c]) >= 10))) - 1
rows$class <- pmin(rows$so_far, top)
times <- sort(unique(rows$stop[rows$left == 1]))
left <- sapply(0:top, function(c) {
  f <- survfit(Surv(start, stop, left) ~ 1, rows[rows$class == c, ])
  pmax(1 - ifelse(times %in% f$time, f$n.event[match(times, f$time)] / f$n.risk[match(times, f$time)], 0), exp(-1))
})
cut <- survSplit(Surv(start, stop, event) ~ ., rows, cut = times)
cut <- cut[order(cut$course, cut$start), ]
# Weight of a piece: one over the product of what was left at the times up to its start, each by the class then.
cut$factor <- sapply(seq_len(nrow(cut)), function(i) if (cut$stop[i] %in% times) left[match(cut$stop[i], times), cut$class[i] + 1] else 1)
cut$w <- 1 / ave(cut$factor, cut$course, FUN = function(x) cumprod(c(1, head(x, -1))))
f <- survfit(Surv(start, stop, event) ~ 1, cut, weights = w, id = course, cluster = patient, robust = TRUE)
at <- sapply(c(91, 365), function(t) max(which(f$time <= t & f$n.event > 0)))
# The rate, each piece also weighted by the share of all still watched at it.
all <- survfit(Surv(watched + 0.25, rep(1, nrow(courses))) ~ 1, courses)
cut$fair <- cut$w * sapply(cut$start, function(t) min(c(1, all$surv[all$time <= t])))
end <- pmin(cut$stop, courses$watched[match(cut$course, courses$course)])
own <- function(x) tapply(x, cut$patient, sum)
n <- own(cut$fair * cut$event); t <- own(cut$fair * (end - cut$start)); rate <- sum(n) / sum(t)
after <- rows$so_far > 0
expected <- sum(sapply(times, function(u) {
  r <- rows$start < u & u <= rows$stop; sum(rows$left[r & rows$stop == u]) * sum(r & after) / sum(r)
}))
write_json(list(classes = top + 1, mean = f$cumhaz[at], se = f$std.chaz[at], rate = rate,
                rate_se = sqrt(sum((n - rate * t)^2)) / sum(t), left = sum(rows$left[after]) / expected),
           "harm_weighted.json", digits = 15, auto_unbox = TRUE)
