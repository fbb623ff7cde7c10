# no Python at all: usable
)(*&^%$ this is not Python ][
