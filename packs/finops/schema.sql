-- Exports of billing data, as they are delivered. Amounts are exact decimals, times are UTC, and each billing period is a partition, which a
-- new delivery replaces as a whole. Columns of an export without a column of their own here are in the map other.

-- AWS Cost and Usage Report 2.0
CREATE TABLE IF NOT EXISTS aws_cur2
(
    -- the bill
    bill_billing_period_start_date DateTime('UTC'),
    bill_billing_period_end_date DateTime('UTC'),
    bill_bill_type LowCardinality(String),
    bill_billing_entity LowCardinality(String),
    bill_invoice_id LowCardinality(String),
    bill_invoicing_entity LowCardinality(String),
    bill_payer_account_id LowCardinality(String),
    bill_payer_account_name LowCardinality(String),
    -- the line item
    identity_line_item_id String,
    identity_time_interval LowCardinality(String),
    line_item_usage_account_id LowCardinality(String),
    line_item_usage_account_name LowCardinality(String),
    line_item_line_item_type LowCardinality(String),
    line_item_product_code LowCardinality(String),
    line_item_usage_type LowCardinality(String),
    line_item_operation LowCardinality(String),
    line_item_availability_zone LowCardinality(String),
    line_item_resource_id String,
    line_item_line_item_description String,
    line_item_legal_entity LowCardinality(String),
    line_item_tax_type LowCardinality(String),
    line_item_usage_start_date DateTime('UTC'),
    line_item_usage_end_date DateTime('UTC'),
    line_item_usage_amount Decimal(38, 18),
    line_item_normalized_usage_amount Decimal(38, 18),
    line_item_currency_code LowCardinality(String),
    line_item_unblended_rate Decimal(38, 18),
    line_item_unblended_cost Decimal(38, 18),
    line_item_blended_rate Decimal(38, 18),
    line_item_blended_cost Decimal(38, 18),
    line_item_net_unblended_rate Decimal(38, 18),
    line_item_net_unblended_cost Decimal(38, 18),
    -- the product and its price
    product_servicecode LowCardinality(String),
    product_product_family LowCardinality(String),
    product_instance_type LowCardinality(String),
    product_region_code LowCardinality(String),
    product_location LowCardinality(String),
    product Map(LowCardinality(String), String),
    pricing_term LowCardinality(String),
    pricing_unit LowCardinality(String),
    pricing_purchase_option LowCardinality(String),
    pricing_public_on_demand_cost Decimal(38, 18),
    pricing_public_on_demand_rate Decimal(38, 18),
    -- reservations, savings plans, split costs
    reservation_reservation_a_r_n LowCardinality(String),
    reservation_effective_cost Decimal(38, 18),
    reservation_net_effective_cost Decimal(38, 18),
    reservation_unused_amortized_upfront_fee_for_billing_period Decimal(38, 18),
    reservation_unused_recurring_fee Decimal(38, 18),
    savings_plan_savings_plan_a_r_n LowCardinality(String),
    savings_plan_offering_type LowCardinality(String),
    savings_plan_savings_plan_effective_cost Decimal(38, 18),
    savings_plan_net_savings_plan_effective_cost Decimal(38, 18),
    savings_plan_total_commitment_to_date Decimal(38, 18),
    savings_plan_used_commitment Decimal(38, 18),
    split_line_item_parent_resource_id String,
    split_line_item_split_cost Decimal(38, 18),
    split_line_item_unused_cost Decimal(38, 18),
    -- names and values
    resource_tags Map(LowCardinality(String), String),
    cost_category Map(LowCardinality(String), String),
    discount Map(LowCardinality(String), String),
    other Map(LowCardinality(String), String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(bill_billing_period_start_date)
ORDER BY (line_item_product_code, line_item_usage_account_id, line_item_usage_start_date, identity_line_item_id);

-- FinOps Open Cost and Usage Specification, 1.0 to 1.3
CREATE TABLE IF NOT EXISTS focus
(
    -- accounts and the bill
    BillingAccountId LowCardinality(String),
    BillingAccountName LowCardinality(String),
    SubAccountId LowCardinality(String),
    SubAccountName LowCardinality(String),
    InvoiceIssuerName LowCardinality(String),
    InvoiceId LowCardinality(String),
    BillingCurrency LowCardinality(String),
    BillingPeriodStart DateTime('UTC'),
    BillingPeriodEnd DateTime('UTC'),
    -- the charge
    ChargePeriodStart DateTime('UTC'),
    ChargePeriodEnd DateTime('UTC'),
    ChargeCategory LowCardinality(String),
    ChargeClass LowCardinality(String),
    ChargeDescription String,
    ChargeFrequency LowCardinality(String),
    BilledCost Decimal(38, 18),
    EffectiveCost Decimal(38, 18),
    ListCost Decimal(38, 18),
    ContractedCost Decimal(38, 18),
    -- service, resource, place
    ProviderName LowCardinality(String),
    PublisherName LowCardinality(String),
    ServiceProviderName LowCardinality(String),
    ServiceCategory LowCardinality(String),
    ServiceSubcategory LowCardinality(String),
    ServiceName LowCardinality(String),
    ResourceId String,
    ResourceName String,
    ResourceType LowCardinality(String),
    RegionId LowCardinality(String),
    RegionName LowCardinality(String),
    AvailabilityZone LowCardinality(String),
    -- amounts and prices
    ConsumedQuantity Decimal(38, 18),
    ConsumedUnit LowCardinality(String),
    PricingCategory LowCardinality(String),
    PricingQuantity Decimal(38, 18),
    PricingUnit LowCardinality(String),
    ListUnitPrice Decimal(38, 18),
    ContractedUnitPrice Decimal(38, 18),
    SkuId LowCardinality(String),
    SkuMeter LowCardinality(String),
    SkuPriceId LowCardinality(String),
    -- commitments
    CommitmentDiscountId LowCardinality(String),
    CommitmentDiscountName LowCardinality(String),
    CommitmentDiscountCategory LowCardinality(String),
    CommitmentDiscountType LowCardinality(String),
    CommitmentDiscountStatus LowCardinality(String),
    CommitmentDiscountQuantity Decimal(38, 18),
    CommitmentDiscountUnit LowCardinality(String),
    CapacityReservationId LowCardinality(String),
    CapacityReservationStatus LowCardinality(String),
    -- names and values
    Tags Map(LowCardinality(String), String),
    other Map(LowCardinality(String), String)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(BillingPeriodStart)
ORDER BY (ServiceName, SubAccountId, BillingAccountId, ChargePeriodStart, ResourceId);

-- Both as one: what was charged, by day.
CREATE VIEW IF NOT EXISTS costs AS
SELECT
    'aws-cur2' AS export,
    toStartOfMonth(bill_billing_period_start_date) AS billing_period,
    toDate(line_item_usage_start_date) AS day,
    line_item_usage_account_id AS account,
    line_item_product_code AS service,
    product_region_code AS region,
    line_item_currency_code AS currency,
    line_item_unblended_cost AS cost,
    multiIf(
        line_item_line_item_type = 'SavingsPlanCoveredUsage', savings_plan_savings_plan_effective_cost,
        line_item_line_item_type = 'SavingsPlanRecurringFee', savings_plan_total_commitment_to_date - savings_plan_used_commitment,
        line_item_line_item_type IN ('SavingsPlanNegation', 'SavingsPlanUpfrontFee'), toDecimal128(0, 18),
        line_item_line_item_type = 'DiscountedUsage', reservation_effective_cost,
        line_item_line_item_type = 'RIFee', reservation_unused_amortized_upfront_fee_for_billing_period + reservation_unused_recurring_fee,
        line_item_line_item_type = 'Fee' AND reservation_reservation_a_r_n != '', toDecimal128(0, 18),
        line_item_unblended_cost) AS amortized_cost,
    resource_tags AS tags
FROM aws_cur2
UNION ALL
SELECT
    'focus',
    toStartOfMonth(BillingPeriodStart),
    toDate(ChargePeriodStart),
    SubAccountId != '' ? SubAccountId : BillingAccountId,
    ServiceName,
    RegionId,
    BillingCurrency,
    BilledCost,
    EffectiveCost,
    Tags
FROM focus;
