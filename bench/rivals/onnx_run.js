// node onnx_run.js MODULE_FOLDER MODEL.onnx THREADS SECONDS BATCH...: one JSON object a batch, with the first
// numbers of the output on pixels of 0.5, so that the caller can compare models.
const [folder, path, threads, seconds, ...batches] = process.argv.slice(2);
const ort = require(folder + '/node_modules/onnxruntime-node');

(async () => {
  const session = await ort.InferenceSession.create(path,
      {intraOpNumThreads: Number(threads), interOpNumThreads: 1, graphOptimizationLevel: 'all'});
  for (const batch of batches.map(Number)) {
    const pixels = new ort.Tensor('float32', new Float32Array(batch * 3 * 224 * 224).fill(0.5), [batch, 3, 224, 224]);
    const time = async () => {
      const cpu = process.cpuUsage(), began = process.hrtime.bigint();
      const out = await session.run({pixels});
      const used = process.cpuUsage(cpu);
      return {wall: Number(process.hrtime.bigint() - began) * 1e-9, cpu: (used.user + used.system) * 1e-6,
              head: Array.from(out.embedding.data.slice(0, 16))};
    };
    await time();
    let best = Infinity, cpu = 0, spent = 0, runs = 0, last;
    do {
      last = await time();
      best = Math.min(best, last.wall);
      cpu += last.cpu;
      spent += last.wall;
      ++runs;
    } while (spent < Number(seconds));
    console.log(JSON.stringify({batch, per_s: batch / best, per_cpu_s: batch * runs / cpu, head: last.head}));
  }
})().catch(error => { console.error(error.message); process.exit(1); });
