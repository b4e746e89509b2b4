# The same rows as benchmarks/cost.py hands over, by npsurv, survfit and msm: CPU seconds and an answer to compare.
suppressMessages({library(npsurv); library(survival); library(msm)})
args <- commandArgs(TRUE)
vector <- function(name) { f <- file.path(args[1], paste0(name, ".bin")); readBin(f, "double", file.size(f) / 8) }
cpu <- function(task) { t <- system.time(answer <- eval(task)); list(answer = answer, cpu = unname(t[1] + t[2])) }
said <- function(what, found) sprintf('"%s": {"cpu": %.4f, "answer": %.12g}', what, found$cpu, found$answer)

left <- vector("intervals.left"); right <- vector("intervals.right")
a <- cpu(quote(npsurv(cbind(left, right))$ll))
day <- vector("ends.day"); cause <- factor(vector("ends.cause"), 0:2)
b <- cpu(quote({f <- survfit(Surv(day, cause) ~ 1); summary(f, times = 730)$pstate[2]}))
out <- c(said("NPMLE from intervals", a), said("cumulative incidence", b))
seen <- data.frame(id = vector("seen.course_id"), day = vector("seen.day"), state = vector("seen.state") + 1)
q <- rbind(c(0, .002, 0, 1e-4), c(0, 0, .002, 1e-4), c(0, .0005, 0, 1e-4), c(0, 0, 0, 0)); diag(q) <- -rowSums(q)
c3 <- cpu(quote(msm(state ~ day, subject = id, data = seen, qmatrix = q, deathexact = 4, method = "BFGS",
                    control = list(fnscale = 20000, maxit = 1000, reltol = 1e-12))$minus2loglik))
out <- c(out, said("panel Markov model", c3))
versions <- paste(c(R.version.string, sapply(c("npsurv", "survival", "msm"), function(p) paste(p, packageVersion(p)))), collapse = ", ")
cat(sprintf('{%s, "versions": "%s"}\n', paste(out, collapse = ", "), versions))
