# Numbers for tests/analysis/numerics/test_cell_effects.py: courses looked at once, groups by three factors that cross.
# A response by day 365, or none, is a binomial with complementary log-log link: glmer fits the same likelihood.
# Run in this folder: Rscript crossed.R
# R 4.2.2, lme4 1.1-31, jsonlite.
suppressMessages({library(lme4); library(jsonlite)})
set.seed(23)
n <- 900
d <- data.frame(origin = sample(letters[1:4], n, TRUE, c(.4, .3, .2, .1)), expanded = sample(c("no", "yes"), n, TRUE),
                centre = sample(LETTERS[1:6], n, TRUE, c(.3, .25, .2, .12, .08, .05)), x = round(rnorm(n), 2))
d$cell <- interaction(d$origin, d$expanded, d$centre, drop = TRUE)
draw <- function(f, s) rnorm(nlevels(factor(f)), 0, s)[as.integer(factor(f))]
eta <- -0.8 + 0.3 * d$x + draw(d$origin, 0.5) + draw(d$expanded, 0.7) + draw(d$centre, 0.4) + draw(d$cell, 0.5)
d$y <- as.integer(runif(n) < 1 - exp(-exp(eta)))
# nAGQ = 0: the coefficients are those of the same penalised likelihood as the effects, not of its integral.
f <- glmer(y ~ x + (1 | origin) + (1 | expanded) + (1 | centre) + (1 | cell), d, binomial("cloglog"), nAGQ = 0,
           control = glmerControl(tolPwrss = 1e-12))
u <- ranef(f, condVar = FALSE)
spread <- sapply(c("origin", "expanded", "centre", "cell"), function(k) attr(VarCorr(f)[[k]], "stddev")[[1]])
cells <- unique(d[c("origin", "expanded", "centre", "cell")])
at <- function(k) u[[k]][as.character(cells[[k]]), 1]
cells$effect <- at("origin") + at("expanded") + at("centre") + at("cell")
cells$cell <- NULL
write_json(list(rows = d[c("origin", "expanded", "centre", "x", "y")], spread = as.list(spread), beta = unname(fixef(f)),
                cells = cells), "crossed.json", digits = 12, auto_unbox = TRUE, dataframe = "columns")
