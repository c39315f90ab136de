{{ config(order_by='order_id', partition_by='toYYYYMM(ordered_at)') }}

select
    order_id,
    customer_id,
    ordered_at,
    toDate(ordered_at) as day,
    status,
    currency,
    items,
    quantity,
    amount
from {{ ref('int_orders_with_items') }}
