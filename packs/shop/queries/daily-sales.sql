-- Sales by day and category.
SELECT day, category, sum(items) AS items, sum(quantity) AS quantity, sum(amount) AS amount, uniqExactMerge(orders) AS orders
FROM daily_sales
WHERE day >= {from:Date} AND day < {to:Date}
GROUP BY day, category
ORDER BY day, category
