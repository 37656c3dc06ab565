"""In place of Immich's machine-learning server: finds the same face in every picture."""

from aiohttp import web

FACE = {"boundingBox": {"x1": 10, "y1": 20, "x2": 30, "y2": 44}, "embedding": "[0.25,-0.5]", "score": 0.875}


async def ping(_request: web.Request) -> web.Response:
    """Immich's asks for its status alone."""
    return web.Response(text="pong")


async def predict(request: web.Request) -> web.Response:
    """Whatever the picture."""
    await request.post()
    return web.json_response({"facial-recognition": [FACE], "imageWidth": 640, "imageHeight": 480})


app = web.Application(client_max_size=64 << 20)
app.add_routes([web.get("/ping", ping), web.post("/predict", predict)])
web.run_app(app, port=3003, print=None)
