"""What commands say of a set of objects: assembled into a world, and judged (pure).

world      objects, profiles rendered and policies replaced, become the world that would exist
"""
