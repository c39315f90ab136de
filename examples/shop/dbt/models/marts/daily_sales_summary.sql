{{ config(order_by='(day, category)') }}

select
    toDate(ordered_at) as day,
    category,
    count() as items,
    sum(quantity) as quantity,
    sum(amount) as amount,
    uniqExact(order_id) as orders
from {{ ref('stg_order_items') }}
group by day, category
