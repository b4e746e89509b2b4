# The whole job as a user of R would write it today, step by step: Rscript benchmarks/job.R FOLDER LIMIT
# The same files and the same rules as job_pandas.py; survival ends are competing (cmprsk), states at visits a Markov model
# (msm), intervals a nonparametric estimate (npsurv), trajectories a model with unstructured covariance (nlme). No row is checked, nothing has a history, one fit has no resamples.
# Each step is cut after LIMIT seconds of CPU where R asks; the last line is JSON.
args <- commandArgs(TRUE)
folder <- args[1]; limit <- as.numeric(args[2])
steps <- list(); cut <- character(); answers <- list()
clock <- function(name, task) {
  setTimeLimit(cpu = limit, transient = TRUE)
  took <- system.time(answer <- tryCatch(eval(task), error = function(e) {
    if (grepl("time limit", conditionMessage(e))) cut <<- c(cut, name) else stop(e)
    NULL
  }))
  setTimeLimit()
  steps[[name]] <<- unname(took[1] + took[2])
  answer
}
clock("import", quote(suppressMessages({library(survival); library(npsurv); library(msm); library(cmprsk); library(nlme)})))

read <- function(name) do.call(rbind, lapply(sort(Sys.glob(file.path(folder, paste0(name, "_*.csv")))), read.csv))
t <- clock("read", quote(sapply(c("stages", "courses", "sessions", "measurements", "events", "visits"), read, simplify = FALSE)))

# A row a course, and a row a visit: baseline, response (OMERACT-OARSI 2004), confirmed at the next visit.
derive <- function(t) {
  target <- function(d) paste(d$patient, d$site, d$side)
  day <- function(x) as.integer(as.Date(substr(x, 1, 10)))
  s <- data.frame(target = target(t$sessions), course = t$sessions$course_no, day = day(t$sessions$date),
                  booster = startsWith(t$sessions$intent, "booster"))
  first <- s[order(s$target, s$course, s$day), ]
  first <- first[!duplicated(first[c("target", "course")]), c("target", "course", "day")]
  n <- nrow(first)
  first$until <- c(ifelse(first$target[-1] == first$target[-n], first$day[-1], Inf), Inf)
  m <- t$measurements
  what <- ifelse(m$instrument == "PtGA", "global", c(pain = "pain", adl = "function")[m$subscale])
  m <- data.frame(target = target(m), day = day(m$date), what = what,
                  worse = ifelse(m$instrument %in% c("KOOS", "HOOS"), 100 - m$value, m$value))[!is.na(what), ]
  key <- paste(m$target, m$day)
  rows <- m[!duplicated(key), c("target", "day")]
  at <- match(key, unique(key))
  for (w in c("pain", "function", "global")) {
    mine <- which(m$what == w)
    rows[[w]] <- NA_real_
    rows[[w]][rev(at[mine])] <- rev(m$worse[mine])
  }
  rows <- merge(rows, setNames(first, c("target", "course", "index", "until")), by = "target")
  rows <- rows[rows$day < rows$until, ]
  rows$day <- rows$day - rows$index
  rows$id <- paste(rows$target, rows$course)
  rows <- rows[order(rows$id, rows$day), ]
  before <- rows[rows$day <= 0 & rows$day >= -90, ]
  before <- before[!duplicated(before$id, fromLast = TRUE), ]
  base <- before[match(rows$id, before$id), c("pain", "function", "global")]
  rows$pain_0 <- base$pain
  good <- function(w, share, points) {
    change <- base[[w]] - rows[[w]]
    base[[w]] > 0 & change / base[[w]] >= share & change >= points
  }
  rows$met <- good("pain", .5, 20) | good("function", .5, 20) |
    (good("pain", .2, 10) + good("function", .2, 10) + good("global", .2, 10) >= 2)
  after <- rows[rows$day >= 90 - 21 & !is.na(rows$met) & stats::complete.cases(base), ]
  k <- nrow(after); same <- after$id[-1] == after$id[-k]
  after$confirmed <- after$met & c(same & after$met[-1], FALSE)
  after$previous <- c(NA, ifelse(same, after$day[-k], NA))
  hit <- after[after$confirmed, ]; hit <- hit[!duplicated(hit$id), ]
  last <- after[!duplicated(after$id, fromLast = TRUE), ]
  course <- data.frame(id = last$id, target = last$target, seen = last$day,
                       last = ifelse(is.na(last$previous), 0, last$previous), index = last$index)
  at <- match(course$id, hit$id)
  course$left <- hit$previous[at]; course$right <- hit$day[at]
  g <- t$stages; grades <- c("early", "early", "moderate", "bone_on_bone")[suppressWarnings(as.integer(g$grade))]
  where <- target(g); keep <- !duplicated(where, fromLast = TRUE)
  course$stage <- grades[keep][match(course$target, where[keep])]
  e <- t$events; e <- e[e$kind %in% c("TKA", "UKA", "THA", "death"), ]; e$day <- day(e$date); e <- e[order(e$day), ]
  at <- match(course$target, target(e))
  course$end <- e$day[at] - course$index; course$cause <- ifelse(e$kind[at] == "death", 2, 1)
  s$id <- paste(s$target, s$course)
  boosts <- s[s$booster, ]; boosts$day <- boosts$day - first$day[match(boosts$id, paste(first$target, first$course))]
  list(course = course[!is.na(course$stage), ], after = after, rows = rows, boosts = boosts[order(boosts$id, boosts$day), ])
}
d <- clock("derive", quote(derive(t)))
rm(t)
stages <- c("early", "moderate", "bone_on_bone")
by_stage <- function(task) setNames(lapply(stages, task), stages)

answers$response <- clock("response", quote(by_stage(function(s) {
  c <- d$course[d$course$stage == s, ]
  left <- ifelse(is.na(c$right), c$last, ifelse(is.na(c$left), 0, c$left))
  f <- npsurv(cbind(left, ifelse(is.na(c$right), Inf, c$right)))$f
  sum(f$p[f$right <= 365])
})))
answers$loss <- clock("loss", quote(by_stage(function(s) {
  a <- d$after[d$after$id %in% d$course$id[d$course$stage == s], ]
  ever <- ave(as.integer(a$met), a$id, FUN = cummax)
  seen <- rbind(data.frame(id = unique(a$id), day = 0, state = 1),
                data.frame(id = a$id, day = a$day, state = ifelse(a$met, 2, ifelse(ever > 0, 3, 1))))
  seen <- seen[order(seen$id, seen$day), ]
  q <- rbind(c(0, .002, 0), c(0, 0, .002), c(0, .001, 0)); diag(q) <- -rowSums(q)
  fit <- msm(state ~ day, subject = match(id, unique(id)), data = seen, qmatrix = q, method = "BFGS",
             control = list(fnscale = nrow(seen), maxit = 500))
  q <- qmatrix.msm(fit, ci = "none"); 1 - exp(-365 * q[2, 3])
})))
answers$replacement <- clock("replacement", quote(by_stage(function(s) {
  c <- d$course[d$course$stage == s, ]
  if (all(is.na(c$end))) return(0)
  f <- cuminc(pmax(ifelse(is.na(c$end), c$seen, c$end), 1), ifelse(is.na(c$end), 0, c$cause))
  unname(timepoints(f[!names(f) %in% "Tests"], 730)$est[1, 1])
})))
answers$booster <- clock("booster", quote({
  a <- d$after; a$stage <- d$course$stage[match(a$id, d$course$id)]
  decided <- a[!a$met & !is.na(a$stage), c("id", "day", "pain", "pain_0", "stage", "target")]
  next_one <- findInterval(match(decided$id, unique(a$id)) * 1e5 + decided$day - 1,
                           sort(match(d$boosts$id, unique(a$id)) * 1e5 + d$boosts$day)) + 1
  at <- sort(match(d$boosts$id, unique(a$id)) * 1e5 + d$boosts$day)[next_one]
  gap <- at - (match(decided$id, unique(a$id)) * 1e5 + decided$day)
  decided$treated <- as.integer(!is.na(gap) & gap >= 0 & gap <= 90)
  trial <- merge(decided, setNames(a[c("id", "day", "pain")], c("id", "seen", "then")), by = "id")
  trial <- trial[trial$seen - trial$day >= 120 & trial$seen - trial$day <= 240, ]
  trial <- trial[stats::complete.cases(trial), ]
  p <- fitted(glm(treated ~ stage + pain + pain_0 + log(day), binomial, trial))
  trial$w <- ifelse(trial$treated == 1, 1 / p, 1 / (1 - p))
  by_stage(function(s) {
    mine <- trial[trial$stage == s, ]
    fit <- lm(I(pain - then) ~ treated + pain + pain_0, mine, weights = w)
    x <- model.matrix(fit); score <- rowsum(x * residuals(fit) * mine$w, mine$target)
    bread <- solve(crossprod(x * sqrt(mine$w))); se <- sqrt(diag(bread %*% crossprod(score) %*% bread))
    unname(coef(fit)["treated"])
  })
}))
answers$trajectories <- clock("trajectories", quote({
  a <- d$rows[d$rows$day > 0, ]; a$stage <- d$course$stage[match(a$id, d$course$id)]
  planned <- c(90, 180, 365, 730)
  a$visit <- factor(planned[max.col(-abs(outer(a$day, planned, "-")), "first")])
  a <- a[!is.na(a$pain_0 - a$pain) & !is.na(a$stage), ]
  # Two assessments nearest to one planned visit: the first, as an unstructured covariance has one place for each.
  a <- a[!duplicated(a[c("id", "visit")]), ]
  fit <- gls(I(pain_0 - pain) ~ visit * stage + pain_0, a, correlation = corSymm(form = ~ as.integer(visit) | id),
             weights = varIdent(form = ~ 1 | visit))
  list(baseline = unname(coef(fit)["pain_0"]))
}))
status <- readLines("/proc/self/status")
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", status, value = TRUE))) / 1024
versions <- paste(c(R.version.string, sapply(c("npsurv", "msm", "cmprsk", "nlme"), function(p) paste(p, packageVersion(p)))),
                  collapse = ", ")
cat(jsonlite::toJSON(list(steps = steps, cut = as.list(cut), answers = answers, peak_mb = peak, versions = versions),
                     auto_unbox = TRUE, digits = 10, null = "null"), "\n", sep = "")
