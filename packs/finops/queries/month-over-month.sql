-- Cost of an export (aws-cur2 or focus) by billing period, and the change since the one before it. A period without a load has no row.
SELECT
    billing_period,
    currency,
    sum(costs.cost) AS cost,
    lagInFrame(toNullable(cost)) OVER months AS before,
    cost - before AS change,
    round(toFloat64(change) / nullIf(toFloat64(before), 0) * 100, 2) AS change_percent
FROM costs
WHERE export = {export:String}
GROUP BY billing_period, currency
WINDOW months AS (PARTITION BY currency ORDER BY billing_period ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
ORDER BY currency, billing_period
