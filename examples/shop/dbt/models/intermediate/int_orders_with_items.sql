-- An order with what its items come to.
select
    orders.order_id as order_id,
    orders.customer_id as customer_id,
    orders.ordered_at as ordered_at,
    orders.status as status,
    orders.currency as currency,
    items.items as items,
    items.quantity as quantity,
    items.amount as amount
from {{ ref('stg_orders') }} as orders
left join (
    select
        order_id,
        count() as items,
        sum(quantity) as quantity,
        sum(amount) as amount
    from {{ ref('stg_order_items') }}
    group by order_id
) as items on items.order_id = orders.order_id
