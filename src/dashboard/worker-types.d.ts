/** The types of the routes lead into the Worker, whose `crypto` can do what a browser's cannot. */
interface SubtleCrypto {
  timingSafeEqual(a: ArrayBuffer | ArrayBufferView, b: ArrayBuffer | ArrayBufferView): boolean;
}
