select
    customer_id,
    name as customer_name,
    lower(email) as email,
    country,
    segment,
    created_at
from {{ source('shop', 'customers') }} final
