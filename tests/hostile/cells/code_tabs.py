# mixed indentation: usable
if True:
	x = 1
        y = 2
