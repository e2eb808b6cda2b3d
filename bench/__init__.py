"""How fast and how large portguard is, measured beside what people would use instead: ``make bench``.

Each measurement runs in a network and mount namespace of its own (:mod:`bench.sandbox`), returns figures
(:mod:`bench.figures`) and knows nothing of the others; ``docs/performance.md`` says what came out.
"""
