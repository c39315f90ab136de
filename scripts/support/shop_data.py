"""Deliveries of a shop as CSV, a folder a month: the same ones for the same arguments."""

import csv
import datetime
import random
from decimal import Decimal

MONTHS = ("202510", "202511")
COUNTRIES = ("DE", "FR", "PL", "ES")
SEGMENTS = ("consumer", "business")
CATEGORIES = ("books", "garden", "kitchen", "toys")
STATUSES = ("placed", "shipped", "completed", "returned", "cancelled")


def write(folder, orders=2000, customers=200, products=50):
    """Writes all months below a folder. `orders` is their number a month. Returns what was written, to compare with."""
    rows = {"customers": 0, "products": 0, "orders": 0, "order_items": 0}
    amount = Decimal(0)
    for number, month in enumerate(MONTHS):
        begin = datetime.datetime(int(month[:4]), int(month[4:]), 1)
        chance = random.Random(month)
        target = folder / month
        target.mkdir(parents=True, exist_ok=True)
        # A delivery of a dimension has all rows; later ones change some.
        dimension(target / "customers.csv", customer, customers + 10 * number, begin)
        dimension(target / "products.csv", product, products + number, begin)
        rows["customers"], rows["products"] = customers + 10 * number, products + number
        with (
            (target / "orders.csv").open("w", newline="", encoding="utf-8") as orders_file,
            (target / "order_items.csv").open("w", newline="", encoding="utf-8") as items_file,
        ):
            orders_csv, items_csv = csv.writer(orders_file), csv.writer(items_file)
            orders_csv.writerow(("order_id", "customer_id", "ordered_at", "status", "currency"))
            items_csv.writerow(("order_id", "line", "product_id", "ordered_at", "quantity", "unit_price", "discount"))
            for place in range(orders):
                order = number * orders + place + 1
                moment = begin + datetime.timedelta(seconds=chance.randrange(30 * 24 * 3600))
                orders_csv.writerow((order, chance.randrange(customers) + 1, moment, chance.choice(STATUSES), "EUR"))
                rows["orders"] += 1
                for line in range(1, chance.randrange(2, 6)):
                    quantity = chance.randrange(1, 6)
                    price = Decimal(chance.randrange(100, 10000)) / 100
                    discount = (price * quantity / 10).quantize(Decimal("0.01")) if chance.random() < 0.2 else Decimal(0)
                    items_csv.writerow((order, line, chance.randrange(products) + 1, moment, quantity, price, discount))
                    rows["order_items"] += 1
                    amount += quantity * price - discount
    return rows, amount


def dimension(path, row, count, moment):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for key in range(count + 1):
            writer.writerow(row(key, moment) if key else row(None, moment))


def customer(key, moment):
    if key is None:
        return ("customer_id", "name", "email", "country", "segment", "created_at", "updated_at")
    created = datetime.datetime(2025, 1, 1) + datetime.timedelta(hours=key)
    name = f'Customer {key}, "née" {moment.month}' if key % 50 == 0 else f"Customer {key}"
    return (key, name, f"customer{key}@example.com", COUNTRIES[key % len(COUNTRIES)], SEGMENTS[key % 3 // 2], created, moment)


def product(key, moment):
    if key is None:
        return ("product_id", "sku", "name", "category", "list_price", "updated_at")
    return (key, f"SKU-{key:05}", f"Product {key}", CATEGORIES[key % len(CATEGORIES)], f"{key % 90 + 9}.99", moment)
