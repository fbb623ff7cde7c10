# every warning is an error: usable
import warnings
warnings.simplefilter("error")
import sys
sys.warnoptions.append("error")
warnings.warn("now an error")
