select
    order_id,
    line,
    concat(toString(order_id), '-', toString(line)) as order_item_id,
    product_id,
    ordered_at,
    quantity,
    unit_price,
    discount,
    amount,
    category
from {{ source('shop', 'order_items_enriched') }}
