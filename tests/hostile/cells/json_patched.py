# json cannot be used any more: usable
import json
import json.decoder
import json.encoder
def no(*args, **kwargs):
    raise ValueError("no JSON today")
json.dumps = json.loads = json.dump = json.load = no
json.encoder.JSONEncoder.encode = json.encoder.JSONEncoder.iterencode = no
json.decoder.JSONDecoder.decode = json.decoder.JSONDecoder.raw_decode = no
