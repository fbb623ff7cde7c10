# input and AST transformers that raise: answered
import ast
class Broken(ast.NodeTransformer):
    def visit(self, node):
        raise RuntimeError("transformed")
def broken(lines):
    raise RuntimeError("transformed")
get_ipython().ast_transformers.append(Broken())
get_ipython().input_transformers_cleanup.append(broken)
