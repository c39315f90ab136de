-- What is delivered: two dimensions, of which each delivery has all rows, and two facts, of which each delivery has a month.

CREATE TABLE IF NOT EXISTS customers
(
    customer_id UInt64,
    name String,
    email String,
    country LowCardinality(String),
    segment LowCardinality(String),
    created_at DateTime('UTC'),
    updated_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY customer_id;

CREATE TABLE IF NOT EXISTS products
(
    product_id UInt64,
    sku String,
    name String,
    category LowCardinality(String),
    list_price Decimal(18, 2),
    updated_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY product_id;

CREATE TABLE IF NOT EXISTS orders
(
    order_id UInt64,
    customer_id UInt64,
    ordered_at DateTime('UTC'),
    status LowCardinality(String),
    currency LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ordered_at)
ORDER BY order_id;

CREATE TABLE IF NOT EXISTS order_items
(
    order_id UInt64,
    line UInt32,
    product_id UInt64,
    ordered_at DateTime('UTC'),
    quantity UInt32,
    unit_price Decimal(18, 2),
    discount Decimal(18, 2)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ordered_at)
ORDER BY (order_id, line);

-- What the jobs make of it.

CREATE TABLE IF NOT EXISTS order_items_enriched
(
    order_id UInt64,
    line UInt32,
    product_id UInt64,
    ordered_at DateTime('UTC'),
    quantity UInt32,
    unit_price Decimal(18, 2),
    discount Decimal(18, 2),
    amount Decimal(18, 2),
    sku String,
    product LowCardinality(String),
    category LowCardinality(String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ordered_at)
ORDER BY (order_id, line);

CREATE TABLE IF NOT EXISTS daily_sales
(
    day Date,
    category LowCardinality(String),
    items SimpleAggregateFunction(sum, UInt64),
    quantity SimpleAggregateFunction(sum, UInt64),
    amount SimpleAggregateFunction(sum, Decimal(38, 2)),
    orders AggregateFunction(uniqExact, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (category, day);
