# contextvars are broken: answered
import contextvars
contextvars.ContextVar = contextvars.copy_context = contextvars.Context = None
