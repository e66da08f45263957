import react from '@vitejs/plugin-react';

// some of the packages were written for Node: they read process.env and global
export default {
  plugins: [react()],
  base: './',
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}', global: 'window' },
  build: { chunkSizeWarningLimit: 20000, minify: false },
};
