# Numbers for tests/real_data on the public data sets themselves, read from the shared references (or a folder given as
# the first argument). Run in this folder: Rscript real_data.R
# R 4.2.2, survival 3.5-3, jsonlite.
suppressMessages({library(survival); library(jsonlite)})
folder <- commandArgs(TRUE)
if (length(folder) == 0) folder <- file.path(Sys.getenv("CATAMNESIS_REFERENCES", "../../../shared/references"), "data")
read <- function(name) read.csv(file.path(folder, name), na.strings = c("NA", ""))

# Interval (left, right] of the first visit that met the definition, at visit times t. confirmed: the next visit must
# agree, so that nobody's last visit can begin a response and whoever never responds was watched to the one before it.
interval <- function(t, met, confirmed) {
  t <- t[!is.na(met)]; met <- met[!is.na(met)]; n <- length(met)
  if (n == 0) return(c(NA, NA))
  before <- c(0, t)[seq_len(n)]
  hit <- if (confirmed) which(met & c(met[-1], FALSE)) else which(met)
  if (length(hit)) return(c(before[hit[1]], t[hit[1]]))
  c(if (confirmed) before[n] else t[n], Inf)
}

# Turnbull by EM. S is right-continuous and steps inside each intersection, so S(left) - S(right) is its likelihood.
turnbull <- function(bounds, group, times) {
  keep <- !is.na(bounds[, 1])
  lapply(split(as.data.frame(bounds[keep, ]), group[keep]), function(d) {
    names(d) <- c("left", "right")
    fit <- survfit(Surv(ifelse(left == 0, NA, left), ifelse(is.finite(right), right, NA), type = "interval2") ~ 1, d)
    S <- stepfun(fit$time, c(1, fit$surv))
    list(n = nrow(d), incidence = 1 - S(times), loglik = sum(log(S(d$left) - ifelse(is.finite(d$right), S(d$right), 0))))
  })
}

knee <- read("catdata_knee.csv")
days <- c(3, 7, 10)
arm <- c("placebo", "therapy")[knee$Th]
crossing <- function(confirmed) t(apply(knee[, c("R1", "R2", "R3", "R4")], 1, function(r) interval(days, r[1] - r[-1] >= 1, confirmed)))
sports_injury <- list(
  first = turnbull(crossing(FALSE), arm, days), confirmed = turnbull(crossing(TRUE), arm, days),
  mean_before = as.list(tapply(knee$R1, arm, mean)), mean_day_10 = as.list(tapply(knee$R4, arm, mean))
)

ra <- read("multgee_arthritis.csv")
person <- ra[!duplicated(ra$id), ]
stage <- cut(person$baseline, c(0, 2, 3, 5), c("poor", "fair", "good"))
drug <- c("placebo", "auranofin")[person$trt]
better <- function(confirmed) t(sapply(person$id, function(i) with(ra[ra$id == i, ], interval(time, y - baseline >= 1, confirmed))))
both <- function(confirmed) list(stage = turnbull(better(confirmed), stage, c(1, 3, 5)),
                                 product = turnbull(better(confirmed), drug, c(1, 3, 5)))
answered <- ra[!is.na(ra$y), ]
of <- function(f, id) as.list(table(f[match(id, person$id)]))
rheumatoid_arthritis <- list(
  first = both(FALSE), confirmed = both(TRUE),
  n_patients = list(stage = of(stage, person$id), product = of(drug, person$id)),
  n_obs = list(stage = of(stage, answered$id), product = of(drug, answered$id)),
  n_subj = length(unique(answered$id))
)

# Events and censorings by whole day; S at day d of times t in other units is S just before day d + 1/2.
ends <- function(time, event, group, at) {
  fit <- function(d) summary(survfit(Surv(time, event) ~ 1, d), times = at, extend = TRUE)
  test <- survdiff(Surv(time, event) ~ group)
  parts <- split(data.frame(time, event), group)
  list(surv = lapply(parts, function(d) fit(d)$surv), se = lapply(parts, function(d) fit(d)$std.err),
       n = as.list(test$n), chisq = test$chisq, p = pchisq(test$chisq, length(test$n) - 1, lower.tail = FALSE))
}
horizon <- c(91, 183, 365, 730)
aa <- read("kmsurv_alloauto.csv")
donor <- c("allogeneic", "autologous")[aa$type]
month <- 365.25 / 12
alloauto <- list(in_months = ends(aa$time, aa$delta, donor, (horizon + 0.5) / month),
                 in_days = ends(round(aa$time * month), aa$delta, donor, horizon),
                 distinct = c(length(unique(aa$time)), length(unique(round(aa$time * month)))))

eb <- read("mstate_ebmt3.csv")
ebmt <- list(product = ends(eb$rfstime, eb$rfsstat, eb$tcd, horizon), stage = ends(eb$rfstime, eb$rfsstat, eb$age, horizon))

sc <- read("zepid_sciatica.csv")
sc$day <- round(sc$time * 365.25)
one <- do.call(rbind, lapply(split(sc, sc$id), function(d) {
  operated <- any(d$surgery == 1)
  data.frame(day = if (operated) min(d$day[d$surgery == 1]) else max(d$day), operated, male = d$male[1])
}))
sciatica <- list(surgery = ends(one$day, one$operated, c("male", "female")[one$male], c(182, 365)))

write_json(list(R = R.version.string, survival = as.character(packageVersion("survival")), sports_injury = sports_injury,
                rheumatoid_arthritis = rheumatoid_arthritis, alloauto = alloauto, ebmt = ebmt, sciatica = sciatica),
           "real_data.json", digits = NA, auto_unbox = TRUE, pretty = TRUE)
