# traitlets cannot be read any more: answered
import traitlets
def no(*args, **kwargs):
    raise RuntimeError("no trait today")
traitlets.TraitType.get = traitlets.HasTraits.notify_change = no
