# GeneratorExit: usable
raise GeneratorExit
