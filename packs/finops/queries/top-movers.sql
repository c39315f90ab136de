-- The services and accounts of an export (aws-cur2 or focus) whose cost has changed most since the billing period before that of {month}.
SELECT
    service,
    account,
    currency,
    sumIf(costs.cost, billing_period = toStartOfMonth({month:Date})) AS cost,
    sumIf(costs.cost, billing_period != toStartOfMonth({month:Date})) AS before,
    cost - before AS change
FROM costs
WHERE export = {export:String} AND billing_period IN (toStartOfMonth({month:Date}), toStartOfMonth({month:Date}) - INTERVAL 1 MONTH)
GROUP BY service, account, currency
HAVING change != 0
ORDER BY abs(change) DESC, service, account
LIMIT {limit:UInt64}
