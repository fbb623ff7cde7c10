# payloads that cannot be written: usable
get_ipython().payload_manager.write_payload({"source": "page", "data": object(), "start": float("nan")})
get_ipython().payload_manager._payload = [object()]
