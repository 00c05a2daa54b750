"""Score datasets: all methods of a case against its truth, one module for each kind of product.

Values in, values out: each takes `{method: Dataset}` as the stages wrote them and gives one Dataset
with a `method` dimension. A method without a `repeat` dimension (a filter that is not trained) has
the same score in every repeat.
"""
