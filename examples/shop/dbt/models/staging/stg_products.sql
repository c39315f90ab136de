select
    product_id,
    sku,
    name as product_name,
    category,
    list_price
from {{ source('shop', 'products') }} final
