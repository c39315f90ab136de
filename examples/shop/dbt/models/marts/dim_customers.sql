{{ config(order_by='customer_id') }}

select
    customers.customer_id as customer_id,
    customers.customer_name as customer_name,
    customers.country as country,
    customers.segment as segment,
    customers.created_at as created_at,
    orders.orders as orders,
    orders.amount as amount
from {{ ref('stg_customers') }} as customers
left join (
    select
        customer_id,
        count() as orders,
        sum(amount) as amount
    from {{ ref('int_orders_with_items') }}
    where status not in ('cancelled', 'returned')
    group by customer_id
) as orders on orders.customer_id = customers.customer_id
