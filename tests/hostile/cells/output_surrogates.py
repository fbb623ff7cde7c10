# lone surrogates, NUL and every control character: usable
import sys
print("".join(map(chr, range(0xD7F0, 0xE010))), "".join(map(chr, range(256))))
sys.stderr.write("\udcff\x00")
