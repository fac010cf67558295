"""Joint diffusion without a framework: torch tensors in, torch tensors out, no ComfyUI.

Vocabulary, one word per thing:

canvas    the whole latent, (B, C, H, W) or (B, C, T, H, W); the last two dimensions are space
window    a rectangle on the canvas in latent cells ("view" in MultiDiffusion's code, "tile" elsewhere)
view      the tensor cropped through a window, F_i(z) in the papers
denoised  the x0 prediction D(x, sigma) ("foreseen denoised" in SyncDiffusion)
shift     what guidance adds to a view before it is denoised, x^_i - x_i
scale     a resolution of the canvas in Multi-Scale Diffusion; scale 1 is the canvas itself, 2 half of it
stride    distance between neighbouring windows; overlap = window - stride
"""
