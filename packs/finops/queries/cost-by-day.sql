-- Cost of an export (aws-cur2 or focus) by day and currency.
SELECT day, currency, sum(costs.cost) AS cost, sum(costs.amortized_cost) AS amortized_cost, count() AS items
FROM costs
WHERE export = {export:String} AND day >= {from:Date} AND day < {to:Date}
GROUP BY day, currency
ORDER BY currency, day
