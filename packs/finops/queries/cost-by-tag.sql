-- Cost of an export (aws-cur2 or focus) by the values of a tag; an empty value has what is not tagged.
SELECT tags[{tag:String}] AS value, currency, sum(costs.cost) AS cost, sum(costs.amortized_cost) AS amortized_cost, count() AS items
FROM costs
WHERE export = {export:String} AND day >= {from:Date} AND day < {to:Date}
GROUP BY value, currency
ORDER BY currency, cost DESC, value
