"""What papympi costs and what it buys, beside what people use today; `make bench` runs it."""
