-- Days and categories in which dbt and the job shop/daily-sales differ: none.
select * from (
    select day, category, items, quantity, amount, orders from {{ ref('daily_sales_summary') }}
    union all
    select day, category, sum(items), sum(quantity), sum(amount), uniqExactMerge(orders) from {{ source('shop', 'daily_sales') }} group by day, category
)
group by day, category, items, quantity, amount, orders
having count() != 2
