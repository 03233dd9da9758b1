"""What the inspector's child process runs: it reads documents of strangers with libraries that may crash or hang.

Begin with worker.py. Nothing outside this folder imports these libraries, and only inspector.py starts the process.
"""
