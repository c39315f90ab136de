select
    order_id,
    customer_id,
    ordered_at,
    status,
    currency
from {{ source('shop', 'orders') }}
