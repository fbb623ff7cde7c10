# random, uuid and os.urandom give always the same: usable
import os
import random
import uuid
os.urandom = lambda n: b"\0" * n
random.seed(0)
uuid.uuid4 = lambda: uuid.UUID(int=0)
